"""What runs on a host: each file is sent as it is, and knows Python's own library only."""
