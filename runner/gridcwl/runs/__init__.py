"""One run of a document, from inputs to outputs: the loop between engine and backend, and publishing."""
