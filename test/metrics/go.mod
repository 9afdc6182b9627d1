module github.com/detcd/detcd/test/metrics

go 1.26.0
