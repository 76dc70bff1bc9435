"""crd_schemas.py FOLDER FILE...: writes the schema of each version of the CustomResourceDefinitions in these files, for kubeconform.

As the API server takes them, but strict: a field that the schema does not name is refused, where it would be dropped in silence.
"""
import json
import pathlib
import sys

import yaml


def strict(schema: dict) -> dict:
    schema = dict(schema)
    if 'properties' in schema:
        schema['properties'] = {name: strict(field) for name, field in schema['properties'].items()}
        if not schema.get('x-kubernetes-preserve-unknown-fields'):
            schema.setdefault('additionalProperties', False)
    for key in ('items', 'additionalProperties'):
        if isinstance(schema.get(key), dict):
            schema[key] = strict(schema[key])
    if schema.get('x-kubernetes-int-or-string'):
        schema.pop('type', None)
        schema['oneOf'] = [{'type': 'string'}, {'type': 'integer'}]
    return schema


folder = pathlib.Path(sys.argv[1])
for path in sys.argv[2:]:
    for definition in yaml.safe_load_all(pathlib.Path(path).read_text()):
        spec = definition['spec']
        for version in spec['versions']:
            target = folder / spec['group'] / f"{spec['names']['kind'].lower()}_{version['name']}.json"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(json.dumps(strict(version['schema']['openAPIV3Schema'])))
