package server

import (
	"encoding/json"
	"errors"
	"fmt"

	"gopkg.in/natefinch/lumberjack.v2"
)

// errRotatedOutput is etcd's refusal of outputs of which not exactly one is a file.
var errRotatedOutput = errors.New("--log-outputs requires a single file path when " +
	"--log-rotate-config-json is defined")

// isFile says whether a log output is a file.
func isFile(output string) bool {
	return output != "default" && output != "stderr" && output != "stdout"
}

// rotation is the log file that is limited as --log-rotation-config-json says.
func (c *Config) rotation() (*lumberjack.Logger, error) {
	var files []string
	for _, name := range c.LogOutputs {
		if isFile(name) {
			files = append(files, name)
		}
	}
	if len(files) > 1 || len(files) == 0 && len(c.LogOutputs) == 1 {
		return nil, errRotatedOutput
	}
	rotated := &lumberjack.Logger{}
	if err := json.Unmarshal([]byte(c.LogRotationJSON), rotated); err != nil {
		var syntax *json.SyntaxError
		var kind *json.UnmarshalTypeError
		switch {
		case errors.As(err, &syntax):
			return nil, fmt.Errorf("improperly formatted log rotation config: %w", err)
		case errors.As(err, &kind):
			return nil, fmt.Errorf("invalid log rotation config: %w", err)
		}
		return nil, fmt.Errorf("fail to unmarshal log rotation config: %w", err)
	}
	if len(files) == 1 {
		rotated.Filename = files[0]
	}
	return rotated, nil
}
