package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// TestPageInChromium opens the console in a real browser: the live stream must have filled it with the sensor that publishes.
func TestPageInChromium(t *testing.T) {
	chromium := peer(t, "chromium")
	p := startProgram(t, t.TempDir())
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + p.mqtt).SetClientID("page"))
	if tok := c.Connect(); !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	begin := time.Now().Add(-time.Hour).Truncate(time.Minute).UnixMilli()
	var last mqtt.Token
	for i := range 300 {
		last = c.Publish("cidp/v1/telemetry/douala/loco-42/axle1-left", 1, false, reading(begin+int64(i)*1000, i))
	}
	for _, tok := range []mqtt.Token{last, c.Publish("cidp/v1/telemetry/douala/loco-42/axle1-left", 1, false, `{"ts":<b>`)} {
		if !tok.WaitTimeout(10 * time.Second) {
			t.Fatal("not acknowledged")
		}
	}
	c.Disconnect(100)
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.WSURLReadTimeout(time.Minute),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Navigate("http://"+p.http+"/")); err != nil {
		t.Fatalf("open page: %v", err)
	}
	var page string
	wait(t, "the stream to fill the page", func() bool {
		text, err := chromedp.Run(ctx, chromedp.Text("body"))
		if err != nil {
			t.Fatalf("read page: %v", err)
		}
		page = text
		return strings.Contains(page, "axle1-left") && strings.Contains(page, "windows are counted")
	})
	for _, want := range []string{"loco-42", "axle1-left", "Online", "holds", "Drift of the model", "windows are counted, from 1000 on", "Decision support, not a certified safety function"} {
		if !strings.Contains(strings.ToLower(string(page)), strings.ToLower(want)) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if _, err := chromedp.Run(ctx, chromedp.Navigate("http://"+p.http+"/#/quarantine")); err != nil {
		t.Fatalf("open quarantine: %v", err)
	}
	wait(t, "the quarantine to show what was refused", func() bool {
		text, err := chromedp.Run(ctx, chromedp.Text("#detail-body"))
		if err != nil {
			t.Fatalf("read quarantine: %v", err)
		}
		return strings.Contains(text, "m1") && strings.Contains(text, "open") && strings.Contains(text, `{"ts":<b>`) && strings.Contains(text, "cidp quarantine release ID")
	})
	if _, err := chromedp.Run(ctx, chromedp.Navigate("http://"+p.http+"/#/models")); err != nil {
		t.Fatalf("open models: %v", err)
	}
	wait(t, "the models to be shown", func() bool {
		text, err := chromedp.Run(ctx, chromedp.Text("#detail-body"))
		if err != nil {
			t.Fatalf("read models: %v", err)
		}
		return strings.Contains(text, "cidp model activate ID") && strings.Contains(text, "line")
	})
	p.stop(t)
}
