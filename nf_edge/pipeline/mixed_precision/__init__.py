"""What quantizing each layer costs, and the recipe that spends a budget best."""
