from madx.cli import main

main()
