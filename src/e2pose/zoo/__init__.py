"""Names of models and the files behind them."""
