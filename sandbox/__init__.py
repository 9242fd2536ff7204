"""Runs strangers' job images in containers that can do nothing but compute."""
