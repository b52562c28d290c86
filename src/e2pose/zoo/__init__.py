"""Model names and the files behind them."""
