"""Which copies of a dataset there are, whether each is what it should be, and what to do where one is not."""
