"""An example of real work: sentences are sorted by a classifier on top of a language model that comes as a package."""
