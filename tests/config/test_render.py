"""What is printed means the same when it is read again, and the JSON keeps to its schema."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings

from tests.config.reading import read
from tests.config.strategies import SOURCE, configurations
from tests.config.test_examples import HAPROXY_PAIR, IPV6_PAIR, OPENSHIFT_LIKE, UNICAST_PAIR_IN_A_CLOUD
from vrrpd.config.keepalived import parse
from vrrpd.config.model import Configuration
from vrrpd.config.render import to_json, to_keepalived_conf

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schema" / "config.schema.json").read_text())


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    return jsonschema.Draft202012Validator(SCHEMA)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(configuration=configurations())
def test_a_printed_configuration_reads_as_the_same_configuration(
    validator: jsonschema.Draft202012Validator, configuration: Configuration
) -> None:
    text = to_keepalived_conf(configuration)
    again, _ = parse(text, file=SOURCE)
    assert again == configuration
    assert to_keepalived_conf(again) == text
    validator.validate(json.loads(json.dumps(to_json(configuration))))


def test_strict_mode_is_printed_with_what_it_implies() -> None:
    text = """
        global_defs { vrrp_strict }
        vrrp_instance VI_1 {
            interface eth0
            virtual_router_id 51
            priority 255
            virtual_ipaddress { 192.0.2.1 }
        }
    """
    configuration = read(text)
    assert parse(to_keepalived_conf(configuration), file=SOURCE)[0] == configuration


def test_the_text_says_all_that_decides() -> None:
    assert to_keepalived_conf(read(HAPROXY_PAIR)) == dedent(
        """\
        global_defs {
            router_id lb1
            script_user root
            enable_script_security
        }

        vrrp_script chk_haproxy {
            script "/usr/bin/killall -0 haproxy"
            user root
            interval 2
            timeout 2
            weight 2
            rise 2
            fall 2
        }

        vrrp_instance VI_1 {
            state MASTER
            interface eth0
            virtual_router_id 51
            version 2
            priority 101
            advert_int 1
            authentication {
                auth_type PASS
                auth_pass 1111
            }
            virtual_ipaddress {
                192.0.2.100/24 dev eth0 label eth0:vip
                192.0.2.101/32 dev eth0
            }
            track_script {
                chk_haproxy weight 2
            }
            notify_master "/etc/keepalived/master.sh 'to master'" root
        }
        """
    )


def test_the_json_keeps_to_its_schema(validator: jsonschema.Draft202012Validator) -> None:
    for text in (HAPROXY_PAIR, IPV6_PAIR, OPENSHIFT_LIKE, UNICAST_PAIR_IN_A_CLOUD):
        configuration, _ = parse(text, config_id="a")
        validator.validate(json.loads(json.dumps(to_json(configuration))))


def test_the_schema_notices_a_field_that_is_missing_or_new(validator: jsonschema.Draft202012Validator) -> None:
    document = to_json(read(HAPROXY_PAIR))
    assert not validator.is_valid({**document, "new": 1})
    assert not validator.is_valid({key: value for key, value in document.items() if key != "routers"})
    [router] = json.loads(json.dumps(document["routers"]))
    for field in router:
        assert not validator.is_valid({**document, "routers": [{k: v for k, v in router.items() if k != field}]})
        assert not validator.is_valid({**document, "routers": [{**router, field: {"unexpected": True}}]})


def test_the_json_shows_no_password() -> None:
    document = json.dumps(to_json(read(HAPROXY_PAIR)))
    assert '"authentication": "PASS"' in document
    assert "1111" not in document
