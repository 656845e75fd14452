"""Read documents, cut them into passages, embed them, and find the passages that answer, among those allowed."""
