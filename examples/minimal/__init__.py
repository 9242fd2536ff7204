"""The smallest complete job."""
