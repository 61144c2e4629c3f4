package main

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// TestCrashRightAfterSUBACK kills the program each time that a subscription of a lasting session was just granted: none is lost.
func TestCrashRightAfterSUBACK(t *testing.T) {
	p := newMortal(t, "")
	const sensors = 6
	topic := func(i int) string { return fmt.Sprintf("cidp/v1/telemetry/douala/loco-1/axle%d", i) }
	heard := make(chan string, 100)
	connect := func(again bool) mqtt.Client {
		p.start(t)
		p.ready(t)
		c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + p.mqtt).SetClientID("control-room").SetCleanSession(false).SetAutoReconnect(false).
			SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { heard <- m.Topic() }))
		token := c.Connect().(*mqtt.ConnectToken)
		if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
			t.Fatalf("connect: %v", token.Error())
		}
		if token.SessionPresent() != again {
			t.Errorf("session present: %v, want %v", token.SessionPresent(), again)
		}
		return c
	}
	for i := range sensors {
		c := connect(i > 0)
		if token := c.Subscribe(topic(i), 1, nil); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
			t.Fatalf("subscribe: %v", token.Error())
		}
		p.kill()
		c.Disconnect(0)
	}
	c := connect(true)
	defer c.Disconnect(0)
	missing := map[string]bool{}
	for i := range sensors {
		missing[topic(i)] = true
		if token := c.Publish(topic(i), 1, false, reading(time.Now().UnixMilli(), i)); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
			t.Fatalf("publish: %v", token.Error())
		}
	}
	for end := time.After(10 * time.Second); len(missing) > 0; {
		select {
		case got := <-heard:
			delete(missing, got)
		case <-end:
			t.Fatalf("subscriptions that were granted are gone: %v", slices.Sorted(maps.Keys(missing)))
		}
	}
}
