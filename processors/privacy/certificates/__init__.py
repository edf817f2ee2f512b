"""What is stated of a release, signed, and checked again."""
