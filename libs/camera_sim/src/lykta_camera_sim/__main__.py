"""Command line of the camera simulator."""

from lykta_camera_sim.command import main

raise SystemExit(main())
