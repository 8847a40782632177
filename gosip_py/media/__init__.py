"""What is said in a call, and how it is described. Knows no SIP."""
