"""Results that outlive their run: kept, looked up, shared by transactions, taken by later attempts, gone through again."""
