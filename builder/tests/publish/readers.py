"""Reads published documents with the programs of those who made the formats: `readers.py FILE...`

Prints what is wrong, a line each; nothing when all is well.
"""

import json
import sys

import in_toto_attestation.predicates.provenance.v1.provenance_pb2 as provenance
import in_toto_attestation.predicates.test_result.v0.test_result_pb2 as test_result
import in_toto_attestation.v1.statement_pb2 as statement_pb2
from google.protobuf import json_format
from in_toto_attestation.v1.statement import Statement
from spdx_tools.spdx.parser.error import SPDXParsingError
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

PREDICATES = {
    "https://slsa.dev/provenance/v1": provenance.Provenance,
    "https://in-toto.io/attestation/test-result/v0.1": test_result.TestResult,
}


def spdx(document):
    try:
        parsed = JsonLikeDictParser().parse(document)
    except SPDXParsingError as error:
        return error.get_messages()
    return [message.validation_message for message in validate_full_spdx_document(parsed)]


def statement(document):
    try:
        # Fields that these messages do not have are errors.
        message = json_format.ParseDict(document, statement_pb2.Statement())
        Statement.copy_from_pb(message).validate()
        json_format.ParseDict(document["predicate"], PREDICATES[document["predicateType"]]())
    except (json_format.ParseError, ValueError, KeyError) as error:
        return [repr(error)]
    return []


for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        content = json.load(file)
    read = spdx if "spdxVersion" in content else statement
    for line in read(content):
        print(f"{path}: {line}")
