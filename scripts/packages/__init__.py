"""What people install, made of this tree: wheel, sdist, man page, software bill of materials, notices, checksums (`make package`).

    tree.py ──> build.py ───────────────> wheel, sdist         a copy of what git tracks, and the man page
       manpage.py ──┘ └─────────────────> learningchain.1      what each command says of itself with --help
    software.py ──> sbom.py, notices.py > CycloneDX, NOTICES   the lock, the installed packages' metadata, the dashboard's files

The same commit gives the same bytes on every machine of one kind: times come from SOURCE_DATE_EPOCH (by default the commit's own),
modes and order from here, versions from the lock. Needs the packages of `make setup`, no network.
"""
