"""Likelihoods from a server: texts are rendered and tokenized here, and its numbers checked before they are used."""
