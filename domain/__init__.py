"""What is true: the facts, the rules that decide on new ones, and nothing that needs a machine."""
