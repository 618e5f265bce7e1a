from sidecar.cli import main

if __name__ == "__main__":  # workers are spawned and import this module anew
    main()
