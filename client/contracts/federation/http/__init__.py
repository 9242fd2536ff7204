"""What the API says of federations and takes from callers: documents, views, postings, pay."""
