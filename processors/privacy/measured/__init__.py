"""What a release reaches and costs, from its cells alone, and what it would cost."""
