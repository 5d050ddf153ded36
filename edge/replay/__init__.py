"""What a recording proves: decisions held against the truth, as a person feels them."""
