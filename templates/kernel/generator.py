"""Runs one of the kernel tree's generators: `generator.py SCRIPT ARGUMENT...`

PLY would write the tables of its parser beside the script that uses it, into the tree.
"""

import functools
import os.path
import runpy
import sys

from ply import yacc

yacc.yacc = functools.partial(yacc.yacc, write_tables=False)
del sys.argv[0]
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")
