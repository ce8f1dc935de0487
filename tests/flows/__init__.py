"""What people do, from door to door, over HTTP against real servers."""
