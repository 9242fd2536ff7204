"""Predictions: what a node does about models and requests, and what people type."""
