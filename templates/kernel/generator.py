"""Runs one of the kernel tree's generators: `generator.py SCRIPT ARGUMENT...`

Two habits of theirs are taken away: PLY writes the tables of its parser beside the script that uses
it, into the tree; and include guards are made from the absolute path of the output.
"""

import functools
import os.path
import runpy
import sys

from ply import yacc

yacc.yacc = functools.partial(yacc.yacc, write_tables=False)
os.path.abspath = functools.partial(os.path.join, os.curdir)
del sys.argv[0]
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")
