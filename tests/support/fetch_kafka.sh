#!/usr/bin/env bash
# Fetches Apache Kafka's jars through Maven into a cache, and prints the folder that holds them.
#
#   tests/support/fetch_kafka.sh           -> ~/.cache/rlwd/kafka-4.3.1/libs
#   RLWD_CACHE=/big tests/support/fetch_kafka.sh -> /big/kafka-4.3.1/libs
#
# Run again it only prints. Run twice at once, one waits for the other; what is half fetched never
# bears the final name. 46 jars, 43 MB.
set -euo pipefail

version=4.3.1
cache="${RLWD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rlwd}"
folder="$cache/kafka-$version"

if [ -d "$folder/libs" ]; then
    echo "$folder/libs"
    exit 0
fi
for tool in java mvn; do
    if ! command -v "$tool" >/dev/null; then
        echo "fetch_kafka: '$tool' is missing. Kafka needs Java 17 or newer to run and Maven to be" \
            "fetched: 'apt-get install openjdk-17-jre-headless maven' on Debian, 'brew install" \
            "openjdk maven' on macOS. Or copy a folder of Kafka $version's jars to $folder/libs." >&2
        exit 3
    fi
done

mkdir -p "$cache"
if command -v flock >/dev/null; then
    exec 9>"$cache/kafka-$version.lock"
    flock 9
    if [ -d "$folder/libs" ]; then
        echo "$folder/libs"
        exit 0
    fi
fi
partial="$(mktemp -d "$cache/kafka-$version.partial.XXXXXX")"
trap 'rm -rf "$partial"' EXIT

# log4j-slf4j-impl, because kafka_2.13 asks for slf4j 1.7's binding and brings none itself.
cat >"$partial/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>rlwd</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>$version</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>2.25.1</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-core</artifactId>
      <version>2.25.1</version>
    </dependency>
  </dependencies>
</project>
POM
if ! mvn --batch-mode --quiet -f "$partial/pom.xml" dependency:copy-dependencies \
    -DoutputDirectory="$partial/libs" >&2; then
    echo "fetch_kafka: Maven could not fetch Kafka $version (its lines are above). Where no Maven" \
        "repository can be reached, copy a folder of its jars to $folder/libs." >&2
    exit 4
fi
mkdir -p "$folder"
# Where two got here without flock, the second finds the name taken and its copy is thrown away.
mv -T "$partial/libs" "$folder/libs" 2>/dev/null || [ -d "$folder/libs" ]
echo "$folder/libs"
