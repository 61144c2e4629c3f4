package broker_test

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/camrail/cidp/broker"
	paho5 "github.com/eclipse/paho.golang/paho"
	paho3 "github.com/eclipse/paho.mqtt.golang"
)

func mustPaho3(tb testing.TB, b *broker.Broker, id string) paho3.Client {
	tb.Helper()
	c := paho3.NewClient(paho3.NewClientOptions().AddBroker("tcp://" + b.Addr()).SetClientID(id).SetOrderMatters(false))
	mustToken(tb, c.Connect())
	tb.Cleanup(func() { c.Disconnect(0) })
	return c
}

func mustToken(tb testing.TB, token paho3.Token) {
	tb.Helper()
	if !token.WaitTimeout(patience) {
		tb.Fatal("not in time")
	}
	if err := token.Error(); err != nil {
		tb.Fatal(err)
	}
}

func mustPaho5(tb testing.TB, b *broker.Broker, id string, receive func(paho5.PublishReceived)) *paho5.Client {
	tb.Helper()
	conn, err := net.Dial("tcp", b.Addr())
	if err != nil {
		tb.Fatal(err)
	}
	cfg := paho5.ClientConfig{Conn: conn, ClientID: id}
	if receive != nil {
		cfg.OnPublishReceived = []func(paho5.PublishReceived) (bool, error){func(p paho5.PublishReceived) (bool, error) {
			receive(p)
			return true, nil
		}}
	}
	c := paho5.NewClient(cfg)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := c.Connect(ctx, &paho5.Connect{ClientID: id, KeepAlive: 30, CleanStart: true}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Disconnect(&paho5.Disconnect{}) }) // it may be gone already
	return c
}

func TestPaho3PublishesAndSubscribes(t *testing.T) {
	b := mustStart(t, broker.Config{})
	mustPublish(t, b, riskA, "retained", true)
	c := mustPaho3(t, b, "pub")
	viewer := mustPaho3(t, b, "sub")
	got := make(chan string, 100)
	for _, filter := range []string{"cidp/v1/risk/#", "cidp/v1/telemetry/#"} {
		mustToken(t, viewer.Subscribe(filter, 2, func(_ paho3.Client, m paho3.Message) {
			got <- fmt.Sprintf("%s %d %v %s", m.Topic(), m.Qos(), m.Retained(), m.Payload())
		}))
	}
	expect := func(want string) {
		t.Helper()
		select {
		case g := <-got:
			if g != want {
				t.Errorf("got %q, want %q", g, want)
			}
		case <-time.After(patience):
			t.Fatalf("no message, want %q", want)
		}
	}
	expect(riskA + " 1 true retained")
	for qos := byte(1); qos <= 2; qos++ {
		token := c.Publish(topicA, qos, false, reading)
		messages := mustReceive(t, b, 1)
		if token.WaitTimeout(20 * time.Millisecond) {
			t.Fatalf("QoS %d: acknowledged before it was told to", qos)
		}
		acknowledge(b, broker.Accepted, messages...)
		mustToken(t, token)
		expect(fmt.Sprintf("%s %d false %s", topicA, qos, reading))
	}
	mustToken(t, c.Publish(riskA, 1, true, "forged")) // acknowledged and dropped
	if st := b.Stats(); st.Denied != 1 || st.Queued != 0 {
		t.Errorf("got %+v", st)
	}
}

func TestPaho5PublishesAndSubscribes(t *testing.T) {
	b := mustStart(t, broker.Config{})
	var seen atomic.Int64
	viewer := mustPaho5(t, b, "sub", func(paho5.PublishReceived) { seen.Add(1) })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := viewer.Subscribe(ctx, &paho5.Subscribe{Subscriptions: []paho5.SubscribeOptions{{Topic: "cidp/v1/telemetry/#", QoS: 2}}}); err != nil {
		t.Fatal(err)
	}
	c := mustPaho5(t, b, "pub", nil)
	for qos := byte(1); qos <= 2; qos++ {
		for outcome, reason := range map[broker.Outcome]byte{broker.Accepted: 0, broker.PayloadInvalid: 0x99, broker.TopicInvalid: 0x90} {
			done := make(chan byte, 1)
			go func() {
				response, err := c.Publish(ctx, &paho5.Publish{Topic: topicA, QoS: qos, Payload: []byte(reading)})
				if response == nil {
					t.Errorf("publish: %v", err)
					done <- 0xff
					return
				}
				done <- response.ReasonCode
			}()
			acknowledge(b, outcome, mustReceive(t, b, 1)...)
			if got := <-done; got != reason {
				t.Errorf("QoS %d: got 0x%02x, want 0x%02x", qos, got, reason)
			}
		}
		response, err := c.Publish(ctx, &paho5.Publish{Topic: riskA, QoS: qos, Payload: []byte("forged")})
		if response == nil || response.ReasonCode != 0x87 {
			t.Errorf("denied topic, QoS %d: %+v, %v", qos, response, err)
		}
	}
	eventually(t, "both accepted messages arrive", func() bool { return seen.Load() == 2 })
}

// Many clients publish through a line that is always behind; nothing is lost, and nothing acknowledged that was not received.
func TestManyPaho3Publishers(t *testing.T) {
	const clients, each = 8, 400
	b := mustStart(t, broker.Config{Queue: 100})
	counts := map[string]int{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for total := 0; total < clients*each; {
			batch, err := b.Receive(context.Background(), nil, 64)
			if err != nil {
				t.Errorf("receive: %v", err)
				return
			}
			for i := range batch {
				counts[batch[i].Client]++
			}
			total += len(batch)
			acknowledge(b, broker.Accepted, batch...)
		}
	}()
	for i := range clients {
		c := mustPaho3(t, b, fmt.Sprint("c", i))
		go func() {
			for n := range each {
				c.Publish(topicOf(i), byte(n%3), false, reading)
			}
		}()
	}
	<-done
	for id, n := range counts {
		if n != each {
			t.Errorf("client %s: %d messages, want %d", id, n, each)
		}
	}
}
