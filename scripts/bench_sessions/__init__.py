"""What a request costs: measurements that anybody can repeat, each beside what it is compared with.

A group of rows is one module: it says what is measured and how, and ``registry`` lists them. ``timing`` measures work
in interleaved rounds; ``traffic`` has the applications and requests; ``table`` prints.
"""
