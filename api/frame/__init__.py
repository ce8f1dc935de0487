"""What all pages share: the frame around them, forms, notices, files."""
