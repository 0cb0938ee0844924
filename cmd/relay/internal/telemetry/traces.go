package telemetry

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/version"
	"github.com/treatrelay/relay/pipeline"
)

// flushTime limits how long a stopping relay sends its remaining spans.
const flushTime = 2 * time.Second

// traces turns the stages of treats into OpenTelemetry spans. The IDs of a treat's trace and root span are derived from the event's ID, so that a
// delivery after a restart belongs to the same trace. It never blocks: spans that the collector does not accept are dropped.
type traces struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	exporter *exporter
}

// OpenTraces starts to send traces, if the standard variables of OpenTelemetry name a collector; otherwise it returns nil. If the settings do not
// work, it logs a warning and returns nil. It sets the logger of the OpenTelemetry packages, which the whole process shares.
func OpenTraces(ctx context.Context, getenv func(string) (string, bool), log zerolog.Logger) (*traces, error) {
	wanted, why := tracesWanted(getenv)
	if why != "" {
		log.Warn().Msg("no traces are sent: " + why)
	}
	if !wanted {
		return nil, nil
	}
	// Their own logger writes to stderr, with values that may be secrets.
	otel.SetLogger(logr.New(tracesLog{log}))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		log.Warn().Err(err).Msg("a setting of OpenTelemetry does not do; its default is used")
	}))
	out, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, exit.With(exit.Config, &advice.Error{Err: fmt.Errorf("set up traces: %w", err), Fix: advice.Do("check the variables OTEL_EXPORTER_OTLP_*")})
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", "relay"), attribute.String("service.version", version.Number())), resource.WithFromEnv())
	if err != nil { // the resource has what could be read
		log.Warn().Msg("OTEL_RESOURCE_ATTRIBUTES is not all of the form key=value,key=value: the rest is left out")
	}
	t := &traces{exporter: &exporter{SpanExporter: out, log: log, cut: make(chan struct{}), said: make(map[string]bool)}}
	t.provider = sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithIDGenerator(idsOfEvents{}), sdktrace.WithBatcher(t.exporter))
	t.tracer = t.provider.Tracer("github.com/treatrelay/relay", trace.WithInstrumentationVersion(version.Number()))
	return t, nil
}

// tracesWanted reports whether the environment enables traces. why is set if it does, but they cannot be sent.
func tracesWanted(getenv func(string) (string, bool)) (wanted bool, why string) {
	env := func(names ...string) (name, value string) { // the first that is set and not empty
		for _, name = range names {
			if value, _ = getenv(name); strings.TrimSpace(value) != "" {
				return name, strings.TrimSpace(value)
			}
		}
		return name, ""
	}
	_, disabled := env("OTEL_SDK_DISABLED")
	name, endpoint := env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	if _, exporters := env("OTEL_TRACES_EXPORTER"); exporters == "none" || endpoint == "" || strings.EqualFold(disabled, "true") {
		return false, ""
	} else if exporters != "" && !slices.Contains(strings.Split(strings.ReplaceAll(exporters, " ", ""), ","), "otlp") {
		return false, fmt.Sprintf("OTEL_TRACES_EXPORTER is %q, and relay knows otlp and none", exporters)
	}
	if u, err := url.Parse(endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return false, name + " is not a URL like http://127.0.0.1:4318"
	}
	if name, protocol := env("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
		return false, fmt.Sprintf("%s is %q, and relay sends http/protobuf: set OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf, "+
			"and OTEL_EXPORTER_OTLP_TRACES_ENDPOINT to where the collector takes that, often http://HOST:4318/v1/traces", name, protocol)
	}
	return true, ""
}

// eventID is the key of an event's ID in the context of its root span.
type eventID struct{}

// idsOfEvents derives the IDs of a root span from its event's ID. Those of other spans are random.
type idsOfEvents struct{}

// NewIDs implements [sdktrace.IDGenerator].
func (idsOfEvents) NewIDs(ctx context.Context) (id trace.TraceID, root trace.SpanID) {
	event, _ := ctx.Value(eventID{}).(string)
	sum := sha256.Sum256([]byte(event))
	n := copy(id[:], sum[:])
	copy(root[:], sum[n:])
	return id, root
}

// NewSpanID implements [sdktrace.IDGenerator].
func (idsOfEvents) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// Add records a stage as a span. It does not block, and may be called by several goroutines.
func (t *traces) Add(s pipeline.Stage) {
	attributes := []attribute.KeyValue{
		attribute.String("relay.event.id", s.ID), attribute.String("relay.account", s.Account),
		attribute.String("relay.provider", s.Provider), attribute.String("relay.origin", string(s.Origin)),
	}
	ctx := context.WithValue(context.Background(), eventID{}, s.ID)
	// A delivery needs it too, for its IDs and the sampling decision. It is never ended then, and so not sent.
	_, root := t.tracer.Start(ctx, "treat", trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(s.Began))
	if s.Sink == "" {
		root.SetAttributes(attributes...)
		root.End(trace.WithTimestamp(s.Ended))
		return
	}
	if !root.SpanContext().IsSampled() {
		return
	}
	attributes = append(attributes, attribute.String("relay.sink", s.Sink), attribute.Int("relay.attempt", s.Attempt),
		attribute.Int64("relay.journal.sequence", int64(s.Seq))) //nolint:gosec // it counts messages
	ctx = trace.ContextWithRemoteSpanContext(ctx, root.SpanContext())
	_, span := t.tracer.Start(ctx, "deliver "+s.Sink, trace.WithSpanKind(trace.SpanKindProducer), trace.WithTimestamp(s.Began),
		trace.WithAttributes(attributes...))
	if s.Err != nil {
		kind := kindOf(s.Err)
		span.SetAttributes(attribute.String("error.type", kind))
		span.SetStatus(codes.Error, kind)
	} else {
		span.SetStatus(codes.Ok, "")
	}
	span.End(trace.WithTimestamp(s.Ended))
}

// kindOf classifies the error of a sink. Its text must not reach a collector: it may contain an address or an answer.
func kindOf(err error) string {
	_, later := pipeline.RetryDelay(err)
	switch {
	case pipeline.IsGone(err):
		return "gone"
	case pipeline.IsPermanent(err):
		return "permanent"
	case pipeline.IsUnavailable(err):
		return "unavailable"
	case later:
		return "retry_later"
	}
	return "refused"
}

// Close sends the remaining spans, for at most flushTime and even if ctx has ended. When it returns, no goroutine is left.
func (t *traces) Close(ctx context.Context) error {
	limit := time.AfterFunc(flushTime, func() { close(t.exporter.cut) })
	defer limit.Stop()
	// If its context ended, Shutdown would leave goroutines behind. cut ends what they wait for instead.
	if err := t.provider.Shutdown(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("end traces: %w", err)
	}
	return nil
}

// exporter logs when spans begin and cease to get lost, and can be cut off. One goroutine at a time calls it.
type exporter struct {
	sdktrace.SpanExporter
	log  zerolog.Logger
	cut  chan struct{}   // closed to stop sending
	said map[string]bool // the reasons for lost spans that have been logged
	lost int             // since then
}

var errCut = errors.New("the time to send the rest is up")

// ExportSpans implements [sdktrace.SpanExporter]. It returns no error, because the caller would log each.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-e.cut:
			cancel(errCut)
		case <-ctx.Done():
		}
	}()
	err := e.SpanExporter.ExportSpans(ctx, spans)
	if err != nil && errors.Is(context.Cause(ctx), errCut) {
		err = errCut
	}
	cancel(nil)
	<-watched
	if err == nil {
		if e.lost > 0 {
			e.log.Info().Int("lost", e.lost).Msg("traces are sent again")
			clear(e.said)
			e.lost = 0
		}
		return nil
	}
	e.lost += len(spans)
	if text := exportTrouble(err); !e.said[text] {
		e.said[text] = true
		e.log.Warn().Str("reason", text).Msg("traces cannot be sent, and get lost meanwhile; treats are not concerned; check OTEL_EXPORTER_OTLP_* and the collector")
	}
	return nil
}

// exportTrouble returns why an export failed, without the collector's address, which may contain a key, and without its answer.
func exportTrouble(err error) string {
	text := err.Error()
	before, _, answered := strings.Cut(text, " (body: ")
	failed, called := errors.AsType[*url.Error](err)
	op, network := errors.AsType[*net.OpError](err)
	switch {
	case errors.Is(err, errCut):
		return errCut.Error()
	case answered:
		status := strings.Fields(before[strings.LastIndexByte(before, ':')+1:])
		if len(status) == 0 {
			return "the collector refuses them"
		}
		code, _ := strconv.Atoi(status[0])
		return fmt.Sprintf("the collector answers with status %d %s", code, http.StatusText(code))
	case called && failed.Timeout():
		return "the collector does not answer in time"
	case network && op.Addr != nil: // without the local port, which differs each time
		return op.Op + " " + op.Addr.String() + ": " + op.Err.Error()
	case called:
		return failed.Err.Error()
	case strings.Contains(text, "body: "):
		return "the collector answers that it cannot take more now"
	case strings.Contains(text, "partial success"):
		return "the collector takes a part of the spans only"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "the collector does not answer in time"
	}
	return "the collector's answer is none of OTLP"
}

// tracesLog is the logger of the OpenTelemetry packages. It logs the messages of errors, without their values.
type tracesLog struct{ log zerolog.Logger }

// Init implements [logr.LogSink], as the others do.
func (tracesLog) Init(logr.RuntimeInfo) {}

// Enabled returns false: only errors are logged.
func (tracesLog) Enabled(int) bool { return false }

// Info drops the message.
func (tracesLog) Info(int, string, ...any) {}

// Error logs the message alone.
func (l tracesLog) Error(_ error, msg string, _ ...any) {
	l.log.Warn().Str("what", msg).Msg("a variable OTEL_* cannot be read, and is left out")
}

// WithValues returns the same log.
func (l tracesLog) WithValues(...any) logr.LogSink { return l }

// WithName returns the same log.
func (l tracesLog) WithName(string) logr.LogSink { return l }
