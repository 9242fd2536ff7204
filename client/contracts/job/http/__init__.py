"""What the API says of jobs and takes from callers: documents, views, postings, quotes."""
