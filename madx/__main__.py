from madx.cli import main

if __name__ == "__main__":  # not in a helper's process
    main()
