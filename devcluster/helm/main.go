// Helm, as its project builds it, so that the chart is installed here by the program that people use.
//
// Source: helm.sh/helm/v4, cmd/helm.
package main

import (
	"log/slog"
	"os"

	"helm.sh/helm/v4/pkg/cmd"
	"helm.sh/helm/v4/pkg/kube"
)

func main() {
	// Whose fields these are, on the server; by default it would be the program's name.
	kube.ManagedFieldsManager = "helm"

	root, err := cmd.NewRootCmd(os.Stdout, os.Args[1:], cmd.SetupLogging)
	if err != nil {
		slog.Error("helm does not begin", slog.Any("error", err))
		os.Exit(1)
	}
	if err := root.Execute(); err != nil {
		// It has said what is wrong.
		os.Exit(1)
	}
}
