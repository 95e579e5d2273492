"""What the product is measured against, run for real: other deliveries and other pages."""
