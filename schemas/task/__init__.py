"""The task file: its model, its loading with positions, its checks."""
