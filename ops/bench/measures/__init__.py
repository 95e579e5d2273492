"""The measures: one module each, whose first lines say what is measured and how."""
