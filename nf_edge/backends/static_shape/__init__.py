"""Programs with static shapes and integer arithmetic, for NPUs and microcontrollers."""
