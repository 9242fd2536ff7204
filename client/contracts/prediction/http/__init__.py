"""What the API says of models and predictions and takes from callers: documents, views, questions, inference."""
