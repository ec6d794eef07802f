"""What events say, a module for each actor that has them."""
