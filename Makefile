# What is not a plain `go` command: binaries for release. Plain make lists the targets.
DIST    ?= dist
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GOBUILD := CGO_ENABLED=0 go build -trimpath

# The server runs on Linux; the tools wherever people sit.
SERVERS := linux-amd64 linux-arm64
TOOLS   := linux-amd64 linux-arm64 darwin-amd64 darwin-arm64 windows-amd64

.PHONY: help binaries release image clean

help:
	@echo "make binaries   server and tools for this machine, static, in $(DIST)/"
	@echo "make release    archives for all systems, with checksums, in $(DIST)/"
	@echo "make image      the container image detcd:$(VERSION)"
	@echo "make clean      remove $(DIST)/"
	@echo "Tests: go test ./... ; everything that must hold of a change: .ci/run"

binaries:
	mkdir -p $(DIST)
	$(GOBUILD) -o $(DIST)/ ./cmd/detcd ./cmd/detcdctl ./cmd/detcdutl

release: $(SERVERS:%=server-%) $(TOOLS:%=tools-%)
	cd $(DIST) && sha256sum *.tar.gz > SHA256SUMS

# $(call archive,NAME,PLATFORM,COMMANDS) builds commands for a platform and packs them.
define archive
	mkdir -p $(DIST)/$(1)-$(VERSION)-$(2)
	GOOS=$(word 1,$(subst -, ,$(2))) GOARCH=$(word 2,$(subst -, ,$(2))) \
	  $(GOBUILD) -o $(DIST)/$(1)-$(VERSION)-$(2)/ $(3)
	cp LICENSE README.md $(DIST)/$(1)-$(VERSION)-$(2)/
	tar -C $(DIST) --owner=0 --group=0 -czf $(DIST)/$(1)-$(VERSION)-$(2).tar.gz $(1)-$(VERSION)-$(2)
	rm -r $(DIST)/$(1)-$(VERSION)-$(2)
endef

server-%:
	$(call archive,detcd,$*,./cmd/detcd ./cmd/detcdctl ./cmd/detcdutl)

tools-%:
	$(call archive,detcd-tools,$*,./cmd/detcdctl ./cmd/detcdutl ./cmd/detsim)

image:
	docker build -f deploy/Dockerfile -t detcd:$(VERSION) .

clean:
	rm -rf $(DIST)
