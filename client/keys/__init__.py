"""An identity's keys and what is sealed or signed with them: the key files, backups, box keys, petnames, and the API's tokens."""
