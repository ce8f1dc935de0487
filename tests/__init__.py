"""What Watchword promises, as programs that check it; laid out like the floors they test."""
