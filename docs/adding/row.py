(Architecture("exp6", (Conv(8), Pool(), Conv(16), Pool()), batch_norm=True, title="Small"),)
