"""Circles of import that `lint-imports` does not see, since it leaves out what is imported for types alone."""

from __future__ import annotations

import grimp


def test_no_module_imports_itself_by_way_of_others_for_types_either() -> None:
    graph = grimp.build_graph("lapd", cache_dir=None)
    # The package's own face names every public name for type checkers, and `from lapd.data import` counts as it.
    for module in graph.find_modules_directly_imported_by("lapd"):
        graph.remove_import(importer="lapd", imported=module)
    circles = [
        (module, *chain)
        for module in sorted(graph.modules)
        for imported in graph.find_modules_directly_imported_by(module)
        if (chain := graph.find_shortest_chain(imported, module))
    ]
    assert circles == []
