"""Call flows of the RFCs, message by message; and the scripts of SIPp."""
