from nf_edge.cli import main

main()
